"""``python -m cuckoo_ml_plugin``: the same as ``cuckoo-ml``."""

from cuckoo_ml_plugin.cli import main

if __name__ == "__main__":
    main()
