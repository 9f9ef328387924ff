"""A key has the same partition as in every other Kafka client."""

from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner import murmur2 as murmur2_of_the_client

from headgate.log.partitioner import murmur2, partition_of


@given(st.binary(max_size=64))
def test_the_hash_equals_that_of_kafka_python(key: bytes) -> None:
    assert murmur2(key) == murmur2_of_the_client(key)


def test_the_hash_equals_that_of_the_java_client() -> None:
    # org.apache.kafka.common.utils.UtilsTest.testMurmur2, as signed 32-bit numbers
    vectors = {
        b"21": -973932308,
        b"foobar": -790332482,
        b"a-little-bit-long-string": -985981536,
        b"a-little-bit-longer-string": -1486304829,
        b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
        b"abc": 479470107,
    }
    assert {key: murmur2(key) - (murmur2(key) >> 31 << 32) for key in vectors} == vectors


@given(st.binary(max_size=64), st.integers(1, 100))
def test_the_partition_of_a_key_exists(key: bytes, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
