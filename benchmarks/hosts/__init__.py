"""The cost of the plugin inside a real sandbox: milliseconds for each analysis, in CAPE and in Cuckoo 2.0.7."""
