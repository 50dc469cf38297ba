# Weights of the engines: mounted read-only in the GPU service (Whisper, folders), and read shard
# by shard from gs:// by the kinds on torch. The images carry none.

resource "google_storage_bucket" "weights" {
  force_destroy               = !var.delete_protection
  location                    = var.region
  name                        = "${var.project}-${var.name}-weights"
  project                     = var.project
  public_access_prevention    = "enforced"
  storage_class               = "STANDARD"
  uniform_bucket_level_access = true

  # Weights can be had again from where they came; a week of deleted gigabytes is billed.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  dynamic "encryption" {
    for_each = var.cmek ? [local.kms_key] : []
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 7
    }
  }
}

# gpu_service/weights/streamed.py lists and reads; the mount does, too.
resource "google_storage_bucket_iam_member" "weights_service" {
  bucket = google_storage_bucket.weights.name
  member = local.identities.service
  role   = "roles/storage.objectViewer"
}
