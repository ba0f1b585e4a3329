"""Photographs as the page shows them: read from inside one folder, checked, scaled and encoded anew."""

import hashlib
import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

from counterfeit.data.images import BadImage, decode_upright, read_inside

SIDES = {"large": 1600, "small": 240}  # longest side in pixels
MAX_BYTES = 50_000_000
KEPT = 256  # encoded photographs in memory


class Pictures:
    """Encoded photographs below one folder.

    What is sent is never the file itself: decoded and encoded again, it carries no metadata, no second file inside
    and no more pixels than the page needs.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._encode = lru_cache(maxsize=KEPT)(self._encoded)

    def content(self, path: str, sha256: str) -> bytes:
        """The bytes of a photograph, if they are those that were scored.

        Args:
            path: relative to the folder, from the scores or the manifest, never from a request.
            sha256: of the bytes.

        Raises:
            BadImage: it is missing, outside the folder, too large, or another file by now.
        """
        file = self.root / path
        try:
            if not file.is_file():  # a pipe is never opened: it would be waited for
                raise BadImage("missing")
            if file.stat().st_size > MAX_BYTES:
                raise BadImage("more than 50 MB")
        except OSError as error:
            raise BadImage("unreadable") from error
        content = read_inside(self.root, path)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise BadImage("another file by now")
        return content

    def jpeg(self, path: str, sha256: str, size: str) -> bytes:
        """A photograph as JPEG; ``size`` is a key of ``SIDES``. Raises ``BadImage`` as :meth:`content` does."""
        return self._encode(path, sha256, SIDES[size])

    def _encoded(self, path: str, sha256: str, side: int) -> bytes:
        image = decode_upright(self.content(path, sha256), side)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        image.info.clear()  # a comment would be written again
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=92, subsampling=0)
        return buffer.getvalue()
