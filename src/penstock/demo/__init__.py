"""The packaged demo: real files, a beamline that writes them, and the functions that reduce them."""
