"""What the names of S3 notifications mean.

What each name means (after ``s3:``, which only MinIO writes; a dash: it raises no event)::

    ObjectCreated:Put Post Copy CompleteMultipartUpload, ObjectSynced:Create   file.created
    ObjectCreated:PutTagging DeleteTagging PutRetention PutLegalHold,
      ObjectTagging:*, ObjectAcl:*                                             file.attributes-changed
    ObjectRemoved:*, LifecycleExpiration:*, ObjectLifecycle:Expiration:Current file.deleted
    ObjectAccessed:Get                                                         file.read
    ObjectRestore:Completed                                                    file.staged
    …Transition…                                                               file.flushed
    Replication:OperationFailedReplication                                     file.transfer-failed
    a version that was not the newest, a delete marker, a bucket, a scan …     -
"""

from __future__ import annotations

from collections.abc import Mapping

from penstock.core.errors import Invalid
from penstock.core.event import (
    FILE_ATTRIBUTES_CHANGED,
    FILE_CREATED,
    FILE_DELETED,
    FILE_FLUSHED,
    FILE_READ,
    FILE_STAGED,
    FILE_TRANSFER_FAILED,
)

_MEANINGS: Mapping[str, str | None] = {
    "ObjectCreated:Put": FILE_CREATED,
    "ObjectCreated:Post": FILE_CREATED,
    "ObjectCreated:Copy": FILE_CREATED,
    "ObjectCreated:CompleteMultipartUpload": FILE_CREATED,
    "ObjectSynced:Create": FILE_CREATED,
    "ObjectCreated:PutTagging": FILE_ATTRIBUTES_CHANGED,
    "ObjectCreated:DeleteTagging": FILE_ATTRIBUTES_CHANGED,
    "ObjectCreated:PutRetention": FILE_ATTRIBUTES_CHANGED,
    "ObjectCreated:PutLegalHold": FILE_ATTRIBUTES_CHANGED,
    "ObjectTagging:Put": FILE_ATTRIBUTES_CHANGED,
    "ObjectTagging:Delete": FILE_ATTRIBUTES_CHANGED,
    "ObjectAcl:Put": FILE_ATTRIBUTES_CHANGED,
    "ObjectRemoved:Delete": FILE_DELETED,
    "ObjectRemoved:DeleteMarkerCreated": FILE_DELETED,
    "ObjectRemoved:DeleteAllVersions": FILE_DELETED,
    "ObjectRemoved:NoOP": None,
    "LifecycleExpiration:Delete": FILE_DELETED,
    "LifecycleExpiration:DeleteMarkerCreated": FILE_DELETED,
    "LifecycleDelMarkerExpiration:Delete": None,
    "ObjectLifecycle:Expiration:Current": FILE_DELETED,
    "ObjectLifecycle:Expiration:NonCurrent": None,
    "ObjectLifecycle:Expiration:DeleteMarker": None,
    "ObjectLifecycle:Expiration:AbortMultipartUpload": None,
    "ObjectLifecycle:Transition:Current": FILE_FLUSHED,
    "ObjectLifecycle:Transition:NonCurrent": None,
    "ObjectSynced:Delete": FILE_DELETED,
    "ObjectSynced:DeletionMarkerCreated": FILE_DELETED,
    "LifecycleTransition": FILE_FLUSHED,
    "IntelligentTiering": FILE_FLUSHED,
    "ObjectTransition:Complete": FILE_FLUSHED,
    "ObjectTransition:Failed": FILE_TRANSFER_FAILED,
    "ObjectAccessed:Get": FILE_READ,
    "ObjectRestore:Completed": FILE_STAGED,
    "ObjectRestore:Post": None,
    "ObjectRestore:Delete": None,
    "ReducedRedundancyLostObject": FILE_DELETED,
    "Replication:OperationFailedReplication": FILE_TRANSFER_FAILED,
}
_SILENT = ("ObjectAccessed:", "BucketCreated:", "BucketRemoved:", "Replication:", "Scanner:", "TestEvent")
MARKERS = frozenset({"DeleteMarkerCreated", "DeletionMarkerCreated"})
"""Ends of names whose ``versionId`` is that of the marker, not of a content."""


def meaning(name: str) -> str | None:
    """Return the type of event that a name stands for, None if it raises none.

    Raises:
        Invalid: It is not known.
    """
    if name in _MEANINGS:
        return _MEANINGS[name]
    if name.startswith(_SILENT):
        return None
    raise Invalid(f"'eventName' is {name!r}, which is not known; nothing was made of it")
