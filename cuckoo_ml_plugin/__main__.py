"""``python -m cuckoo_ml_plugin`` runs the command line, as ``cuckoo-ml`` does."""

from cuckoo_ml_plugin.cli import main

if __name__ == "__main__":
    main()
