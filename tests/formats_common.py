"""What the tests of annotation formats share: golden files as people have them, and comparing data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dld_core.data.formats import AnnotatedImage, AnnotatedWord, Dataset


def put(path: Path, content: str | bytes) -> Path:
    """Write a file, its folders too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def put_json(path: Path, document: Any) -> Path:
    """Write a JSON file."""
    return put(path, json.dumps(document))


def put_image(path: Path, width: int = 640, height: int = 480, exif: int | None = None) -> Path:
    """Write a small image of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tags = Image.Exif()
    if exif is not None:
        tags[0x0112] = exif
    Image.new("RGB", (width, height), (90, 120, 150)).save(path, exif=tags)
    return path


def facts(dataset: Dataset, extras: bool = True) -> dict[str, Any]:
    """A data set as plain values, without where it lies."""
    return {
        image.name: {
            "size": (image.width, image.height),
            "extra": image.extra if extras else None,
            "words": [
                (word.polygon.tolist(), word.text, word.ignore, word.extra if extras else None)
                for word in image.words
            ],
        }
        for image in dataset.images
    }


def word(points: Any, text: str = "", ignore: bool = False, **extra: Any) -> AnnotatedWord:
    """A word from a flat list of coordinates."""
    polygon = np.asarray(points, dtype=np.float64).reshape(-1, 2)
    return AnnotatedWord(polygon, text, ignore, dict(extra), "line 1")


def one_page(folder: Path, *words: AnnotatedWord, name: str = "img_1.jpg") -> Dataset:
    """A data set of one image that states its size."""
    image = AnnotatedImage(folder / name, 640, 480, list(words), name, folder / "source")
    return Dataset("test", folder, [image])


GOLDEN: dict[str, dict[str, str]] = {
    "icdar": {
        "gt_img_1.txt": "377,117,463,117,465,130,378,130,Genaxis Theatre\n"
        "493,115,519,115,519,131,493,131,[06]\n"
        "374,155,409,155,409,170,374,170,###\n"
        "30,30,90,30,90,60,30,60,5,000\n"
        '200,30,290,30,290,60,200,60,"We\n',
        "gt_img_2.txt": "",
    },
    "icdar13": {
        "gt_img_1.txt": '158 128 411 181 "Footpath"\n443 128 501 169 "To"\n64 200 363 243 "a \\"b\\", c"\n'
    },
    "icdar-mlt": {
        "gt_img_1.txt": "206,71,272,71,272,88,206,88,Latin,NEW\n"
        "150,119,183,119,183,131,150,131,Korean,\uc11c\uc6b8\n"
        "10,119,43,119,43,131,10,131,None,###\n"
    },
    "totaltext": {
        "poly_gt_img_1.txt": "x: [[259 313 389 427 354 302]], y: [[542 462 417 459 507 582]], ornt: [u'c'], "
        "transcriptions: [u'PAUL']\n"
        "x: [[400 478 494 436]], y: [[398 380 448 465]], ornt: [u'#'], transcriptions: [u'#']\n"
        "x: [[10 90 90 10]], y: [[10 10 40 40]], ornt: [u'h'], transcriptions: [u\"JOE'S\"]\n"
    },
    "cocotext": {
        "cocotext.v2.json": json.dumps(
            {
                "cats": {},
                "anns": {
                    "45346": {
                        "mask": [468.9, 286.7, 468.9, 295.2, 493.0, 295.8, 493.0, 287.2],
                        "class": "machine printed",
                        "bbox": [468.9, 286.7, 24.1, 9.1],
                        "image_id": 522579,
                        "id": 45346,
                        "language": "english",
                        "area": 206.06,
                        "utf8_string": "the",
                        "legibility": "legible",
                    },
                    "45347": {
                        "mask": [68.9, 86.7, 88.9, 86.7, 88.9, 96.7, 68.9, 96.7],
                        "class": "handwritten",
                        "bbox": [68.9, 86.7, 20.0, 10.0],
                        "image_id": 522579,
                        "id": 45347,
                        "language": "na",
                        "area": 200.0,
                        "legibility": "illegible",
                    },
                },
                "imgs": {
                    "522579": {
                        "file_name": "COCO_train2014_000000522579.jpg",
                        "height": 476,
                        "width": 640,
                        "id": 522579,
                        "set": "train",
                    }
                },
                "imgToAnns": {"522579": [45347, 45346]},
                "info": {"version": "2.0"},
            }
        )
    },
    "textocr": {
        "TextOCR.json": json.dumps(
            {
                "info": {"version": "0.1"},
                "imgs": {
                    "a4ea732cd3d5948a": {
                        "id": "a4ea732cd3d5948a",
                        "width": 840,
                        "height": 1024,
                        "set": "val",
                        "file_name": "train/a4ea732cd3d5948a.jpg",
                    }
                },
                "anns": {
                    "a4ea732cd3d5948a_1": {
                        "id": "a4ea732cd3d5948a_1",
                        "image_id": "a4ea732cd3d5948a",
                        "bbox": [525.83, 3.4, 197.64, 33.94],
                        "utf8_string": "Performance",
                        "points": [525.83, 3.4, 723.47, 7.29, 722.76, 36.74, 525.83, 37.34],
                        "area": 6707.9,
                    },
                    "a4ea732cd3d5948a_2": {
                        "id": "a4ea732cd3d5948a_2",
                        "image_id": "a4ea732cd3d5948a",
                        "bbox": [5, 3, 20, 10],
                        "utf8_string": ".",
                        "points": [5, 3, 25, 3, 25, 13, 5, 13],
                        "area": 200,
                    },
                },
                "imgToAnns": {"a4ea732cd3d5948a": ["a4ea732cd3d5948a_1", "a4ea732cd3d5948a_2"]},
            }
        )
    },
    "mmocr": {
        "textspotting.json": json.dumps(
            {
                "metainfo": {
                    "dataset_type": "TextSpottingDataset",
                    "task_name": "textspotting",
                    "category": [{"id": 0, "name": "text"}],
                },
                "data_list": [
                    {
                        "img_path": "textdet_imgs/test/img_10.jpg",
                        "height": 720,
                        "width": 1280,
                        "instances": [
                            {
                                "polygon": [260, 138, 284, 138, 279, 158, 260, 158],
                                "bbox": [260, 138, 284, 158],
                                "bbox_label": 0,
                                "ignore": True,
                                "text": "###",
                            },
                            {
                                "polygon": [288, 138, 417, 140, 416, 161, 290, 157, 289, 150],
                                "bbox": [288, 138, 417, 161],
                                "bbox_label": 0,
                                "ignore": False,
                                "text": "HarbourFront",
                            },
                        ],
                    }
                ],
            }
        )
    },
    "davar": {
        "datalist.json": json.dumps(
            {
                "###": "Comment",
                "Images/train/img1102.jpg": {
                    "height": 1259,
                    "width": 1280,
                    "content_ann": {
                        "bboxes": [
                            [798, 984, 861, 984, 923, 984, 923, 1050, 861, 1050, 798, 1050],
                            [334, 466, 546, 313, 792, 373, 845, 457, 764, 522],
                            [10, 20, 110, 60],
                        ],
                        "cares": [1, 0, 1],
                        "labels": [["title"], [1], ["code"]],
                        "texts": ["AID", "###", "6"],
                    },
                    "content_ann2": {"labels": [[1], [2], [1]]},
                },
            }
        )
    },
    "doctr": {
        "labels.json": json.dumps(
            {
                "sample_img_01.png": {
                    "img_dimensions": [900, 600],
                    "img_hash": "theimagedumpmyhash",
                    "polygons": [
                        [[10, 20], [90, 20], [90, 40], [10, 40]],
                        [[5, 60], [50, 62], [49, 80], [5, 78]],
                    ],
                },
                "sample_img_02.png": {
                    "img_dimensions": [900, 600],
                    "img_hash": "thisisahash",
                    "polygons": {"total": [[[10, 20], [90, 20], [90, 40], [10, 40]]], "date": []},
                },
            }
        )
    },
    "labelme": {
        "photo_7.json": json.dumps(
            {
                "version": "5.4.1",
                "flags": {"checked": True},
                "shapes": [
                    {
                        "label": "OPEN",
                        "points": [[10.5, 20.25], [90.0, 21.0], [89.0, 40.0], [10.0, 39.0]],
                        "group_id": None,
                        "description": "",
                        "shape_type": "polygon",
                        "flags": {},
                        "mask": None,
                    },
                    {
                        "label": "brand",
                        "points": [[100, 20], [180, 60]],
                        "group_id": 3,
                        "description": "ACME",
                        "shape_type": "rectangle",
                        "flags": {},
                    },
                    {
                        "label": "smudge",
                        "points": [[200, 20], [280, 20], [280, 60], [200, 60]],
                        "group_id": None,
                        "description": None,
                        "shape_type": "polygon",
                        "flags": {"difficult": True, "blurred": True},
                    },
                ],
                "imagePath": "photo_7.jpg",
                "imageData": None,
                "imageHeight": 480,
                "imageWidth": 640,
            }
        )
    },
    "ppocrlabel": {
        "Label.txt": 'shop/img_1.jpg\t[{"transcription": "Caf\u00e9", "points": [[10, 20], [90, 20], '
        '[90, 40], [10, 40]], "difficult": false, "key_cls": "name"}, {"transcription": "*", '
        '"points": [[1, 2], [30, 2], [30, 9], [1, 9]], "difficult": false}]\nshop/img_2.jpg\t[]\n'
    },
}
"""Format -> file name -> content; samples after each format's own documentation."""


def put_golden(name: str, folder: Path) -> Path:
    """Write the golden files of a format; the folder."""
    for file, content in GOLDEN[name].items():
        put(folder / file, content)
    return folder
