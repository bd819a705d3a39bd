# A part whose engine is an extra that was not installed.
import dld_test_absent_engine

from dld_core import Spotter


class EngineSpotter(Spotter):
    def predict(self, images):
        return dld_test_absent_engine.read(images)
