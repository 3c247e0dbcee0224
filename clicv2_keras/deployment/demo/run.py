import errno
import threading
import webbrowser

from clicv2_keras.deployment.demo.demo_server import DemoServer
from clicv2_keras.deployment.scoring.network import find_tflite
from clicv2_keras.utils.errors import UserError
from clicv2_keras.utils.tflite_file import unpack


def demo(model="default", port=0, browser=True, on_start=print):
    """Serve the demo on 127.0.0.1 until Ctrl-C: pictures are decoded, scored and shown by the browser alone.

    Args:
        model: a trained preset's name, or a `.tflite` file of `clicv2-keras export`.
        port: the port to listen on; 0 takes one that is free.
        browser: open the page in the user's browser.
        on_start: called with the page's address once it can be opened.

    Raises:
        UserError: where there is no such model, or the port is taken.
    """
    file = find_tflite(model)
    try:
        server = DemoServer(file, unpack(file), port)
    except OSError as error:
        reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise UserError(f"--port {port}: {reason}; name another, or none to take one that is free") from None
    with server:
        on_start(server.url)
        if browser:
            # Where the only browser is one for terminals, opening it waits until it is left.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
