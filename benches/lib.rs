//! Nothing here: the benches are in `benches/`, next to the scripts that measure buildlib itself.
