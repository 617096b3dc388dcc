"""Makes CAPE's analysis view fetch the section cuckooml from the database. Put here by cuckoo-ml install."""

CUSTOM_SERVICES = ["cuckooml"]


def handle_custom_service(service, task_id, sha256):
    """Nothing of ours is made on demand."""
    return False, service
