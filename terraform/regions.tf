# The regions a stack can be in, and the GPUs that Cloud Run has there; the variables are checked
# against it. Google adds some every few months: a region that is missing here and has Cloud Run,
# Cloud Functions, Eventarc and Firestore is one line.
# Sources, read 2026-11-21: cloud.google.com/run/docs/locations; GPUs:
# docs.cloud.google.com/run/docs/configuring/services/gpu, "Supported regions". Of those, L4 in
# asia-south1 and us-central1 and RTX PRO 6000 in asia-south2 are marked "by invitation only", which
# nothing here can see: Google refuses the service then, and says why.

locals {
  l4  = "nvidia-l4"
  rtx = "nvidia-rtx-pro-6000"

  accelerators = {
    africa-south1           = []
    asia-east1              = []
    asia-east2              = []
    asia-northeast1         = []
    asia-northeast2         = []
    asia-northeast3         = []
    asia-south1             = [local.l4]
    asia-south2             = [local.rtx]
    asia-southeast1         = [local.l4, local.rtx]
    asia-southeast2         = []
    australia-southeast1    = []
    australia-southeast2    = []
    europe-central2         = []
    europe-north1           = []
    europe-southwest1       = []
    europe-west1            = [local.l4]
    europe-west10           = []
    europe-west12           = []
    europe-west2            = []
    europe-west3            = []
    europe-west4            = [local.l4, local.rtx]
    europe-west6            = []
    europe-west8            = []
    europe-west9            = []
    me-central1             = []
    me-central2             = []
    me-west1                = []
    northamerica-northeast1 = []
    northamerica-northeast2 = []
    southamerica-east1      = []
    southamerica-west1      = []
    us-central1             = [local.l4, local.rtx]
    us-east1                = []
    us-east4                = [local.l4]
    us-east5                = []
    us-south1               = []
    us-west1                = []
    us-west2                = []
    us-west3                = []
    us-west4                = []
  }

  gpu_regions = {
    for gpu in [local.l4, local.rtx] : gpu => [for region, there in local.accelerators : region if contains(there, gpu)]
  }
}
