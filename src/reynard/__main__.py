"""`python -m reynard`: the command line."""

from reynard.cli.main import main

main()
