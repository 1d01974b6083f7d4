"""The floor of an ingest: a consumer that parses the JSON of each record, and does nothing with it.

``consume.py SERVERS TOPIC PARTITIONS COUNT`` reads the last COUNT records of the topic and prints seconds on
the clock and seconds of processor time (the client's own threads included) from the first batch to the last.
"""

import json
import sys
import time

from confluent_kafka import Consumer, TopicPartition

BATCH = 500


def main() -> None:
    """Read, parse, tell."""
    servers, topic, partitions, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "floor", "auto.offset.reset": "error"})
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, part))[1] for part in range(partitions)]
    consumer.assign([TopicPartition(topic, part, end - count // partitions) for part, end in enumerate(ends)])
    parsed, begun, begun_cpu = 0, 0.0, 0.0
    left = count // partitions * partitions
    while parsed < left:
        messages = consumer.consume(BATCH, 1.0)
        if messages and not begun:
            begun, begun_cpu = time.perf_counter(), time.process_time()
            left -= len(messages)
            continue
        for message in messages:
            json.loads(message.value() or b"null")
        parsed += len(messages)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - begun_cpu
    print(json.dumps({"records": parsed, "seconds": seconds, "cpu_s": cpu}))


main()
