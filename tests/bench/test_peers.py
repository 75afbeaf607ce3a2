"""Every codec of the comparison, on a real crop."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.peers import DECISIVE, all_peers, named
from bench.peers.base import IntegerScale, join, split
from bench.peers.karhunen_loeve import KarhunenLoeve
from eocodec.metrics import compare


@pytest.mark.parametrize("name", [peer.name for peer in all_peers()])
def test_finer_settings_have_less_error_and_more_bytes(name, stack):
    peer = named(name)
    count = len(peer.settings)
    sizes, errors = [], []
    for setting in (peer.settings[at] for at in (count // 4, count // 2, 3 * count // 4)):
        data = peer.encode(stack, setting)
        decoded = peer.decode(data, stack.shape)
        assert decoded.shape == stack.shape
        sizes.append(len(data))
        errors.append(compare(stack, decoded).total_rmse)
    assert errors[0] > errors[1] > errors[2]
    assert sizes[0] < sizes[1] < sizes[2]
    assert errors[2] < 400


def test_decisive_codecs_exist():
    assert set(DECISIVE) <= {peer.name for peer in all_peers()}


def test_names_are_unique():
    names = [peer.name for peer in all_peers()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("name", ["JPEG 2000 + KLT", "JPEG XL e7 + KLT", "x265 12-bit + KLT"])
def test_bright_clouds_do_not_leave_the_integers(name, stack):
    cloudy = stack.copy()
    cloudy[:, 10:40, 10:40] = 24000
    peer = named(name)
    finest = peer.settings[-1]
    assert compare(cloudy, peer.decode(peer.encode(cloudy, finest), stack.shape)).total_rmse < 30


def test_klt_is_invertible_from_its_bytes(stack):
    transform = KarhunenLoeve.fit(stack)
    stored = transform.to_bytes()
    assert len(stored) == KarhunenLoeve.size(10)

    restored = KarhunenLoeve.from_bytes(stored, 10).inverse(transform.forward(stack))

    assert np.abs(restored - stack).max() < 1e-6


def test_klt_decorrelates_and_sorts_by_variance(stack):
    components = KarhunenLoeve.fit(stack).forward(stack)
    covariance = np.cov(components.reshape(10, -1))
    variances = np.diag(covariance)
    assert (np.diff(variances) < 0).all()
    assert np.abs(covariance - np.diag(variances)).max() < 1e-3 * variances[0]
    assert variances.sum() == pytest.approx(np.var(stack, axis=(1, 2), ddof=1).sum(), rel=1e-3)


@given(st.lists(st.binary(max_size=300)))
def test_joined_parts_come_apart(parts):
    assert split(join(parts)) == parts


@given(st.floats(-30000, 0), st.floats(1, 60000), st.integers(8, 16))
def test_integer_scales_keep_the_range(low, spread, bits):
    planes = np.linspace(low, low + spread, 50)[None, None]
    for scale in (IntegerScale.spread(planes, bits), IntegerScale.centred(planes, bits, 0.5)):
        integers = scale.to_integers(planes)
        assert integers.max() < 2**bits
        stored = IntegerScale.from_bytes(scale.to_bytes())
        assert np.abs(stored.to_planes(integers) - planes).max() <= 0.51 * scale.step
