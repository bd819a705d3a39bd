from example_spotter import ExampleSpotter

from dld_core.testing import TrainableSpotterContract


class TestExampleSpotter(TrainableSpotterContract):
    def make(self):
        return ExampleSpotter.create(weights=None)
