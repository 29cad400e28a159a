"""An ARM64 Linux without a board: emulated, behind an ssh server of its own."""
