"""Pictures that kill, hang or bloat the process that decodes them, for tests."""

# Stands for a decoder with a fault: Python runs it in each process that begins with this folder on its path.
HARM = """
import builtins, os, signal, time
import PIL.Image

def harmful(file, *arguments, real=PIL.Image.open, **options):
    data = file.getvalue() if hasattr(file, "getvalue") else open(file, "rb").read()
    if data.startswith(b"KILL ONCE "):
        try:
            open(data[10:].decode(), "x").close()
        except FileExistsError:
            raise ValueError("spared")
        os.kill(os.getpid(), signal.SIGKILL)
    if data.startswith(b"KILL"):
        os.kill(os.getpid(), signal.SIGSEGV)
    if data.startswith(b"HANG"):
        time.sleep(1000)
    if data.startswith(b"EAT"):
        bytearray(2**40)
    return real(file, *arguments, **options)

PIL.Image.open = harmful
"""
