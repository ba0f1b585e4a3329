"""A run folder as one offline page: what came out, how sure it is, and what it rests on."""
