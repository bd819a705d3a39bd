# Dark words on light ground: found by connected components, read by a small network that can be taught.
import cv2
import numpy as np
import torch
from torch.nn.functional import pad

from dld_backends.recognition.attention import AttentionDecoder
from dld_backends.recognition.branch import RecognitionBranch
from dld_backends.recognition.encoder import SequenceEncoder
from dld_backends.recognition.maps import ReadingMaps
from dld_core import PartConfig, TrainableSpotter, TrainOutput, Word
from dld_core.decoders.charset import PRINTABLE_ASCII, Charset
from dld_core.decoders.words import readable_words


class ExampleConfig(PartConfig):
    gap: int = 9  # pixels between the letters of one word


class ExampleSpotter(TrainableSpotter):
    config_type, charset, thread_safe = ExampleConfig, PRINTABLE_ASCII, True
    corners = np.float32([(0, 0), (1, 0), (1, 1), (0, 1)])

    def __init__(self, config=None):
        super().__init__()
        self.config = config or ExampleConfig()
        letters, encoder = Charset(self.charset), SequenceEncoder(16, (16, 16, 16), hidden=16, layers=1)
        self.trunk = torch.nn.Conv2d(3, 16, 4, stride=4)
        self.decoder = AttentionDecoder(letters, encoder.features, hidden=32)
        self.reader = RecognitionBranch(16, 16, encoder, self.decoder, letters)

    @classmethod
    def create(cls, weights=None, device="cpu", **options):
        spotter = cls(ExampleConfig.parse(options, where="backend example"))
        if weights not in (None, "bundled"):
            spotter.load_state_dict(torch.load(weights, weights_only=True))
        return spotter.to(device).eval()

    def features(self, images):  # uint8 [3, H, W] each, to maps [B, 16, h, w]
        height, width = -(-np.max([image.shape[1:] for image in images], axis=0) // 4) * 4
        padded = torch.stack([pad(i, (0, width - i.shape[2], 0, height - i.shape[1])) for i in images])
        return ReadingMaps(self.trunk(padded.to(self.trunk.weight.device) / 255))

    def read(self, image):
        ink = cv2.threshold(image.cpu().numpy().min(0), 0, 1, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)[1]
        runs = cv2.connectedComponentsWithStats(cv2.dilate(ink, np.ones((1, self.config.gap))))[2][1:]
        boxes = [run[:2] + self.corners * run[2:4] for run in runs if run[2] > run[3] > 5]  # x, y, w, h, area
        found = zip(self.reader.read(self.features([image]), boxes), boxes, strict=True)
        return [Word(said.text, said.sure, tuple(map(tuple, box.tolist()))) for said, box in found]

    def predict(self, images):
        with torch.no_grad():
            return [self.read(image) for image in images]

    def recognize(self, batch):
        regions, texts = readable_words(batch, self.reader.charset, self.decoder.max_length)
        return self.reader.trace(self.features(batch.images), regions, texts)

    def forward_train(self, batch):
        trace = self.recognize(batch)
        return TrainOutput({"text": self.decoder.loss(trace.context, trace.targets)}, trace)
