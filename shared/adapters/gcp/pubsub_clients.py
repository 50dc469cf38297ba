"""Pub/Sub's clients, made once at start: of the cloud, or of the emulator if one is named.

The plain clients do not look for the emulator by themselves, as the batching ones do.
"""

import os

import grpc
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

#: Google's own name: host:port of an emulator, which wants neither TLS nor an identity.
EMULATOR = "PUBSUB_EMULATOR_HOST"


def publisher() -> PublisherClient:
    if host := os.environ.get(EMULATOR):
        return PublisherClient(transport=PublisherGrpcTransport(channel=_plain(host)))
    return PublisherClient()


def subscriber() -> SubscriberClient:
    if host := os.environ.get(EMULATOR):
        return SubscriberClient(transport=SubscriberGrpcTransport(channel=_plain(host)))
    return SubscriberClient()


def _plain(host: str) -> grpc.Channel:
    return grpc.insecure_channel(host)
