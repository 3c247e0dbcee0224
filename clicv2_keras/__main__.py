"""`python -m clicv2_keras` is `clicv2-keras`."""

from clicv2_keras.cli.main import main

main()
