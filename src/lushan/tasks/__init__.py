"""Tasks, one file each: what is learned and how it is evaluated."""
