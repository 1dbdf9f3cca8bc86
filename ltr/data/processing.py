"""From frames and boxes to the crops that a network is trained on (docs/reference.md, section 3)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import cv2
import numpy as np
import torch
from torch import Tensor

from ltr.admin.inputs import Ranges, check_numbers
from ltr.data import augmentation
from ltr.data.image import Frame
from ltr.errors import UserError
from ltr.ops.square_crops import box_in_crop, outside_mask, square_crop

# A frame of a sample: its pixels, or what reads them at the size that suits its crop (`ltr.data.image.read_shrunk`).
OpenFrame = Callable[[Callable[[tuple[int, int]], int]], Frame]


@dataclass(frozen=True)
class CropSettings:
    """How search regions are cut.

    Attributes:
        output_size: side S of a crop in pixels.
        search_area_factor: side of the region over the square root of the (jittered) box's area.
        centre_jitter_train, centre_jitter_test: the centre moves by uniform(+-0.5) x sqrt(area) x this.
        scale_jitter_train, scale_jitter_test: the size is multiplied by exp(N(0, this)).
        border: 'replicate' (repeat the border), 'inside_major' (shift, and shrink by at most `max_scale_change`, so
            that the region leaves the image along one axis at most), or 'black' (OSTrack's square crops of whole
            pixels, black outside the image; a crop that would be all black is drawn anew).
        template_size, template_area_factor: as `output_size` and `search_area_factor`, of train frames, with 'black'.
        shrink_decoding: decode a JPEG at a half, a quarter or an eighth of its size where the crop has no more pixels.
            Boxes are the same; pixels differ by a few levels, since a JPEG is scaled in its frequencies.
        grayscale_probability: probability that a sample becomes grey, all its frames together.
        brightness_jitter: every frame is multiplied by uniform(1 +- this).
        joint_brightness_jitter: all frames of a sample are multiplied by one uniform(1 +- this) besides.
        flip_probability: probabilities of a horizontal flip: of all frames together, then of each on its own.
        blur_probability: probability of a Gaussian blur of a test frame.
        contrast_jitter, saturation_jitter: every frame's are multiplied by uniform(1 +- this).
        hue_jitter: every frame's colours turn by uniform(+-this), in parts of a full turn.
        cutout_probability: probability of a rectangle of the mean colour over a test frame, over half of the target
            at most.
    """

    RANGES: ClassVar[Ranges] = {
        "output_size": (1, 4096),
        "search_area_factor": (1e-3, 1000),
        "max_scale_change": (1, 1000),
        "template_size": (0, 4096),
        "template_area_factor": (0, 1000),
        **dict.fromkeys(("centre_jitter_train", "centre_jitter_test"), (0, 1000)),
        **dict.fromkeys(("scale_jitter_train", "scale_jitter_test"), (0, 10)),
        **dict.fromkeys(("brightness_jitter", "joint_brightness_jitter", "contrast_jitter"), (0, 1)),
        **dict.fromkeys(("saturation_jitter", "hue_jitter", "grayscale_probability"), (0, 1)),
        **dict.fromkeys(("flip_probability", "blur_probability", "cutout_probability"), (0, 1)),
    }

    output_size: int
    search_area_factor: float
    centre_jitter_train: float
    centre_jitter_test: float
    scale_jitter_train: float = 0.25
    scale_jitter_test: float = 0.5
    border: str = "replicate"
    max_scale_change: float = 1.5
    template_size: int = 0
    template_area_factor: float = 0.0
    shrink_decoding: bool = True
    grayscale_probability: float = 0.05
    brightness_jitter: float = 0.2
    joint_brightness_jitter: float = 0.0
    flip_probability: float = 0.0
    blur_probability: float = 0.0
    contrast_jitter: float = 0.0
    saturation_jitter: float = 0.0
    hue_jitter: float = 0.0
    cutout_probability: float = 0.0

    def __post_init__(self) -> None:
        if self.border not in ("replicate", "inside_major", "black"):
            raise UserError(f"border must be 'replicate', 'inside_major' or 'black', not '{self.border}'")
        if (self.border == "black") != (self.template_size > 0 and self.template_area_factor > 0):
            raise UserError("template_size and template_area_factor belong to border 'black', and to it alone")
        check_numbers(self)


def jitter_box(box: np.ndarray, centre_jitter: float, scale_jitter: float, rng: np.random.Generator) -> np.ndarray:
    """A box [4] (x, y, w, h) of jittered centre and size (docs/reference.md, section 3)."""
    size = box[2:] * np.exp(rng.standard_normal(2) * scale_jitter)
    reach = math.sqrt(size[0] * size[1]) * centre_jitter
    centre = box[:2] + box[2:] / 2 + (rng.random(2) - 0.5) * reach
    return np.concatenate((centre - size / 2, size))


def search_region(box: np.ndarray, image_size: tuple[int, int], settings: CropSettings) -> tuple[float, float, float]:
    """The square (left, top, side) around a box, in image pixels. image_size: (height, width)."""
    side = settings.search_area_factor * math.sqrt(box[2] * box[3])
    centre = box[:2] + box[2:] / 2
    extent = np.array((image_size[1], image_size[0]), dtype=float)
    if settings.border == "inside_major":
        side /= float(np.clip(np.min(side / extent), 1.0, settings.max_scale_change))
        low = centre - side / 2
        # Along an axis where the region is longer than the image, it is centred on the image.
        low = np.where(side <= extent, np.clip(low, 0, np.maximum(extent - side, 0)), (extent - side) / 2)
        return float(low[0]), float(low[1]), side
    return float(centre[0] - side / 2), float(centre[1] - side / 2), side


def crop(
    image: np.ndarray, box: np.ndarray, region: tuple[float, float, float], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a square region and resize it to `size` pixels; the border is repeated outside the image.

    Args:
        image: uint8 [H, W, 3].
        box: [4] (x, y, w, h) in image pixels.
        region: (left, top, side) in image pixels.

    Returns:
        The crop uint8 [size, size, 3], and the box in crop pixels.
    """
    left, top, side = region
    scale = size / side
    moved = np.array(((box[0] - left) * scale, (box[1] - top) * scale, box[2] * scale, box[3] * scale))
    # Pixel centres lie at half-integers in continuous coordinates, at integers in OpenCV's.
    matrix = np.array(((1 / scale, 0, left + 0.5 / scale - 0.5), (0, 1 / scale, top + 0.5 / scale - 0.5)))
    if scale < 0.5:
        factor = math.floor(1 / scale)
        x0, y0 = max(int(left), 0), max(int(top), 0)
        x1, y1 = min(math.ceil(left + side), image.shape[1]), min(math.ceil(top + side), image.shape[0])
        if x1 - x0 >= factor and y1 - y0 >= factor:
            part = image[y0:y1, x0:x1]
            smaller = ((x1 - x0) // factor, (y1 - y0) // factor)
            ratio = np.array(((x1 - x0) / smaller[0], (y1 - y0) / smaller[1]))
            image = cv2.resize(part, smaller, interpolation=cv2.INTER_AREA)
            offset = (np.array((left - x0, top - y0)) + 0.5 / scale) / ratio - 0.5
            matrix = np.array(((1 / scale / ratio[0], 0, offset[0]), (0, 1 / scale / ratio[1], offset[1])))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return out, moved


def _open(frame: np.ndarray | OpenFrame, shrink: Callable[[tuple[int, int]], int]) -> Frame:
    return Frame(frame, (frame.shape[0], frame.shape[1])) if isinstance(frame, np.ndarray) else frame(shrink)


class EmptyCropError(UserError):
    """A crop with border 'black' shows nothing of the image; another sample is to be drawn."""


class CropProcessing:
    """Turns frames and boxes into crops. See `CropSettings`."""

    def __init__(self, settings: CropSettings) -> None:
        self.settings = settings

    def __call__(
        self,
        train: tuple[Sequence[np.ndarray | OpenFrame], np.ndarray],
        test: tuple[Sequence[np.ndarray | OpenFrame], np.ndarray],
        rng: np.random.Generator,
    ) -> dict[str, Tensor]:
        """Crops of a sample.

        Args:
            train, test: frames (uint8 RGB [H, W, 3], or what opens them) and boxes [n, 4] (x, y, w, h) in frame pixels.
            rng: draws everything that is random.

        Returns:
            `train_images`, `test_images` uint8 [n, 3, S, S], `train_boxes`, `test_boxes` float32 [n, 4] in crop pixels;
            with border 'black' also `train_labels`, `test_labels`, the boxes by the rule of `box_in_crop`.

        Raises:
            EmptyCropError: with border 'black', a crop that shows nothing of the image.
        """
        settings = self.settings
        gray = rng.random() < settings.grayscale_probability
        gain = 1 + settings.joint_brightness_jitter * rng.uniform(-1, 1)
        flip = rng.random() < settings.flip_probability
        sample: dict[str, Tensor] = {}
        for name, (frames, boxes), jitter in (
            ("train", train, (settings.centre_jitter_train, settings.scale_jitter_train)),
            ("test", test, (settings.centre_jitter_test, settings.scale_jitter_test)),
        ):
            images, moved = [], []
            for frame, box in zip(frames, np.asarray(boxes, dtype=float)):
                if settings.border == "black":
                    image, where = self._black_crop(name, frame, box, jitter, rng)
                else:
                    image, where = self._crop(frame, box, jitter, rng)
                image = augmentation.apply_colour_map(image, self._colour_map(gain, gray, rng))
                if name == "test" and rng.random() < settings.cutout_probability:
                    image = augmentation.cut_out(image, where[0], rng)
                if name == "test" and rng.random() < settings.blur_probability:
                    image = augmentation.blur(image, rng)
                if flip != (rng.random() < settings.flip_probability):
                    image = image[:, ::-1]
                    where[:, 0] = image.shape[1] - where[:, 0] - where[:, 2]
                images.append(image)
                moved.append(where)
            # Stacked by NumPy: torch would start its threads for this, and they wait for one another on busy cores.
            sample[f"{name}_images"] = torch.from_numpy(np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2)))
            for kind, found in zip(("boxes", "labels"), np.stack(moved, axis=1).astype(np.float32)):
                sample[f"{name}_{kind}"] = torch.from_numpy(found)
        return sample

    def _crop(
        self, frame: np.ndarray | OpenFrame, box: np.ndarray, jitter: tuple[float, float], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """A crop [S, S, 3] around a jittered box, and the box in it, [1, 4]."""
        around = jitter_box(box, *jitter, rng)
        opened = _open(frame, partial(self._shrink, around))
        left, top, side = search_region(around, opened.size, self.settings)
        small = opened.shrink
        region = (left / small, top / small, side / small)
        image, where = crop(opened.image, box / small, region, self.settings.output_size)
        return image, where[None]

    def _black_crop(
        self,
        name: str,
        frame: np.ndarray | OpenFrame,
        box: np.ndarray,
        jitter: tuple[float, float],
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """A square crop [S, S, 3] as OSTrack's, and in it the box, exactly and by the rule of its labels, [2, 4]."""
        settings = self.settings
        size, factor = settings.output_size, settings.search_area_factor
        if name == "train":
            size, factor = settings.template_size, settings.template_area_factor
        image = _open(frame, lambda _: 1).image
        around = jitter_box(box, *jitter, rng)
        try:
            cut = square_crop(image, around.tolist(), factor, size)
        except UserError as error:
            raise EmptyCropError(str(error)) from None
        # A token of the network is black where its pixels are.
        if outside_mask(image.shape, cut)[::16, ::16].all():
            raise EmptyCropError(f"no crop around box {box.round(1).tolist()} shows the image")
        label = box_in_crop(box, around, cut.scale, size) * size
        return cut.patch, np.stack((np.array(cut.of_image(box.tolist())), label))

    def _shrink(self, around: np.ndarray, image_size: tuple[int, int]) -> int:
        """What an image of (height, width) may be divided by before its region around a box is cut out."""
        ratio = search_region(around, image_size, self.settings)[2] / self.settings.output_size
        return next((step for step in (8, 4, 2) if self.settings.shrink_decoding and step <= ratio), 1)

    def _colour_map(self, gain: float, gray: bool, rng: np.random.Generator) -> np.ndarray:
        """One frame's colours [3, 4]: `gain` and `gray` are the sample's."""
        settings = self.settings
        return augmentation.colour_map(
            gain * (1 + settings.brightness_jitter * rng.uniform(-1, 1)),
            1 + settings.contrast_jitter * rng.uniform(-1, 1),
            1 + settings.saturation_jitter * rng.uniform(-1, 1),
            2 * math.pi * settings.hue_jitter * rng.uniform(-1, 1),
            gray,
        )
