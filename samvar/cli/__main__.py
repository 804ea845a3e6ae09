"""`python -m samvar.cli`, which `torchrun -m` needs."""

from . import main

main()
