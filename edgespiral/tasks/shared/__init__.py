"""What tasks share: words for what they refuse, pictures, and the boundary to users' own."""
