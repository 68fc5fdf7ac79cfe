"""The policy that denied a request, according to AWS's message, and a hint.

**Input:** AWS's message. **Output:** a hint. AWS's phrases are listed in the IAM user guide,
"Troubleshoot access denied error messages": "with an explicit deny in a service control policy",
"because no permissions boundary allows the s3:PutObject action".
"""

from __future__ import annotations

import re

_BY_PERMISSION = "`dolambda policy` prints what is needed, but no further permission changes this"

_HINTS = {
    "service control policy": "The organisation denies it to the whole account (SCP). "
    f"{_BY_PERMISSION}: ask those who administer the organisation, or use a region and settings "
    "that they allow.",
    "resource control policy": "The organisation denies access to that resource (RCP). "
    f"{_BY_PERMISSION}: ask those who administer the organisation.",
    "permissions boundary": "The permissions boundary of these credentials does not allow it. "
    f"{_BY_PERMISSION}: ask the administrator who set the boundary to allow it there too.",
    "session policy": "The session that these credentials belong to was limited when it began. "
    f"{_BY_PERMISSION}: begin one without that limit.",
    "VPC endpoint policy": "The VPC endpoint that the request went through does not allow it. "
    f"{_BY_PERMISSION}: ask those who administer the network.",
}
"""Hints by the kind of policy in AWS's words, for an explicit denial or a missing permission."""

_EXPLICIT = {
    "identity-based policy": "A policy of these credentials denies it explicitly, and that "
    f"outweighs what others allow. {_BY_PERMISSION}: ask the administrator who set it.",
    "resource-based policy": "The resource's own policy, such as a bucket's, denies it explicitly. "
    f"{_BY_PERMISSION}: ask its owner.",
}
"""Hints for kinds that only matter if they deny: otherwise a permission is missing."""

_KEY = (
    "That belongs to the KMS key that encrypts the bucket, or the function's environment. Allow "
    "kms:Decrypt and kms:GenerateDataKey, in the key's policy or by another policy, to the "
    "worker's role and to all who submit or deploy. `dolambda policy` does not know the key."
)

_REASON = re.compile(
    r"(with an explicit deny in an?|because no) "
    rf"({'|'.join((*_HINTS, *_EXPLICIT))})\b"
)
_ON_ROLES = re.compile(r"perform: iam:\w*Role")


def denial_hint(said: str, missing: str) -> str:
    """Return a hint for a denial.

    ``missing`` is that for a missing permission or an unknown reason.
    """
    found = _REASON.search(said)
    if found and found[2] in _HINTS:
        return _HINTS[found[2]]
    if found and "explicit" in found[1]:
        return _EXPLICIT[found[2]]
    if "perform: kms:" in said:
        return _KEY
    return missing + _OTHERS_MAKE_IT if _ON_ROLES.search(said) else missing


_OTHERS_MAKE_IT = (
    " Or let an administrator make the role (role=), or the whole stack (`dolambda template "
    "cloudformation`). Where roles must have a permissions boundary, set permissions_boundary=."
)
