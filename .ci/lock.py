"""Print the installed packages as constraints, one pin a line, this project and local build tags left out."""

from importlib import metadata

HEAD = """\
# Every package of an installation, pinned; written by `make lock`, used by every `pip install` of the Makefile.
# On Linux with an NVIDIA GPU torch brings its CUDA libraries, which its own metadata pins exactly.\
"""

if __name__ == "__main__":
    pins = {d.metadata["Name"].lower(): d.version.partition("+")[0] for d in metadata.distributions()}
    print(HEAD)
    for name in sorted(pins.keys() - {"workbench", "pip"}):
        print(f"{name}=={pins[name]}")
