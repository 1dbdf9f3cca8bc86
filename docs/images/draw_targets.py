"""Draw docs/images/targets.webp: two targets of one demo clip, tracked together by `MultiTracker`.

python docs/images/draw_targets.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ltr.data.image import read_image
from pytracking import MultiTracker, get_dataset
from pytracking.visualise import COLOURS, draw_box, resize_to_width

TARGET = Path(__file__).with_name("targets.webp")
TARGETS = ("juggler", "ball")
WIDTH = 480
EVERY = 2
MILLISECONDS = 80


def main() -> None:
    """Track every frame, and keep every second one as a picture."""
    sequences = get_dataset("demo", sequences=list(TARGETS))
    boxes = {sequence.name: sequence.ground_truth_rect[0] for sequence in sequences}
    first, *later = [read_image(path) for path in sequences[0].frames]
    tracker = MultiTracker("dimp_nceplus_lite")
    ids = {tracker.add(first, boxes[name]): name for name in TARGETS}
    pictures = []
    for number, image in enumerate(later):
        results = tracker.track(image)
        if number % EVERY:
            continue
        picture = image.copy()
        for target, name in ids.items():
            label = f"{name} {results[target].score:.2f}"
            draw_box(picture, results[target].box, COLOURS[target % len(COLOURS)], 3, label)
        pictures.append(Image.fromarray(resize_to_width(picture, WIDTH)))
    pictures[0].save(TARGET, save_all=True, append_images=pictures[1:], duration=MILLISECONDS, loop=0, quality=45)
    print(f"{TARGET} ({TARGET.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
