"""A schedule as a Kubernetes CronJob with a volume for its history and reports."""

import json

from auditor.core.errors import InputError
from auditor.schedule.cron import Cron
from auditor.schedule.job import COMPARED, Job

IMAGE = "registry.example/your-model:tag"
"""Stands for the user's image until they name it."""

SUBJECT = "/subject"
"""Where the image holds the folder of the spec."""

STATE = "/state"
"""Where the volume is mounted."""

_MANIFEST = """\
# The image holds this program, and the folder of the spec at {subject}.
# History and reports live on the volume, which outlives the job: kubectl delete pvc audit-{name}
# forgets them. A new finding fails the job, which is not tried again.
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: audit-{name}
  labels: {{app.kubernetes.io/name: auditor, app.kubernetes.io/instance: {label}}}
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 5Gi
---
apiVersion: batch/v1
kind: CronJob
metadata:
  name: audit-{name}
  labels: {{app.kubernetes.io/name: auditor, app.kubernetes.io/instance: {label}}}
spec:
  schedule: {schedule}
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: 3600
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      backoffLimit: 0
      activeDeadlineSeconds: 86400
      template:
        metadata:
          labels: {{app.kubernetes.io/name: auditor, app.kubernetes.io/instance: {label}}}
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          securityContext:
            runAsNonRoot: true
            runAsUser: 10001
            runAsGroup: 10001
            fsGroup: 10001
            seccompProfile: {{type: RuntimeDefault}}
          containers:
            - name: audit
              image: {image}
              workingDir: {subject}
              command:
{command}
              env:
                - {{name: AUDIT_HISTORY, value: {state}/history.sqlite}}
                - {{name: XDG_STATE_HOME, value: {state}}}
                - {{name: HOME, value: /tmp}}
{secrets}              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities: {{drop: [ALL]}}
              resources:
                requests: {{cpu: "1", memory: 2Gi}}
                limits: {{memory: 8Gi}}
              volumeMounts:
                - {{name: state, mountPath: {state}}}
                - {{name: temporary, mountPath: /tmp}}
          volumes:
            - name: state
              persistentVolumeClaim: {{claimName: audit-{name}}}
            - name: temporary
              emptyDir: {{}}
"""

_SECRETS = """\
              envFrom:  # {names}
                - secretRef: {{name: audit-{name}}}
"""


def manifest(job: Job, image: str | None = None) -> str:
    """Return the manifest of a schedule, as YAML.

    Raises:
        InputError: Kubernetes can't say when, or `image` is no name of one.
    """
    if not isinstance(job.when, Cron):
        raise InputError("--calendar: only systemd knows such times; give --every or --cron")
    if image is not None and (not image or any(map(str.isspace, image)) or not image.isascii()):
        raise InputError(f"--image: {image!r} is no name of an image")
    command = (
        *("audit", "run", f"{SUBJECT}/{job.spec.name}"),
        *("--out", f"{STATE}/reports", "--dated", "--keep", str(job.keep)),
        *COMPARED,
    )
    secrets = _SECRETS.format(name=job.name, names=", ".join(job.secrets)) if job.secrets else ""
    return _MANIFEST.format(
        name=job.name,
        label=_scalar(job.name),
        subject=SUBJECT,
        state=STATE,
        schedule=_scalar(job.when.text),
        image=_scalar(image or IMAGE),
        command="\n".join(f"                - {_scalar(_unexpanded(word))}" for word in command),
        secrets=secrets,
    )


def _unexpanded(word: str) -> str:
    """Return a word of a command that Kubernetes leaves as it is, though it has `$(NAME)` in it."""
    return word.replace("$", "$$")


def _scalar(text: str) -> str:
    """Return text as YAML: a string of JSON is one of YAML too."""
    return json.dumps(text, ensure_ascii=False)
