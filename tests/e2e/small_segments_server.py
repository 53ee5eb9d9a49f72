"""`pesalango-server up` whose segments of keys are small: an entry point of the tests alone.

    python small_segments_server.py up --data-dir DIR --port PORT

As shipped, hours of a test would not close one. Workers begin as `pesalango-server` does; they only
read, and what they go by is in the database.
"""

from pesalango_server.cli import main
from pesalango_server.storage import segments

if __name__ == "__main__":
    segments.SEGMENT_KEYS = 50
    main()
