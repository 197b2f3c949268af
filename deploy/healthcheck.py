"""Whether the tokenkeep process of this container is well: exit code 0 if it is, 1 if it is not.

The image has no curl. Asks `/healthz`, or the path that is given (`/readyz`), on the API's port and then on the port of
metrics: one container runs one process, and one of the two listens.
"""

import http.client
import os
import sys

_TIMEOUT_S = 4.0
_PORTS = (("TOKENKEEP_API_PORT", 8080), ("TOKENKEEP_METRICS_PORT", 9464))


def is_well(path: str) -> bool:
    """Whether the process that listens answers 200."""
    for variable, usual in _PORTS:
        connection = http.client.HTTPConnection(
            "127.0.0.1", int(os.environ.get(variable) or usual), timeout=_TIMEOUT_S / len(_PORTS)
        )
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.HTTPStatus.OK
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
    return False


if __name__ == "__main__":
    sys.exit(0 if is_well(sys.argv[1] if len(sys.argv) > 1 else "/healthz") else 1)
