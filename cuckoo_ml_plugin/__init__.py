"""Machine learning for malware sandboxes: have we seen this behaviour before, how sure are we, is it unlike all we know?"""

__version__ = "0.1.0"
