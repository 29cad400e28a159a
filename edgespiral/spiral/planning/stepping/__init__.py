"""Very many changes of one cut at a time: what each would take, by arrays."""
