"""A page on this machine that scores pictures in the browser. `clicv2_keras.demo()` serves it; see `run.demo`."""

import sys

from clicv2_keras.verb import Verb

_HOMES = {"demo": "run", "DemoServer": "demo_server"}
__all__ = list(_HOMES)

sys.modules[__name__].__class__ = Verb
