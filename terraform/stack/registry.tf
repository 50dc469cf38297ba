# Images of the two services. Every build pushes both, so old ones go: after half a year, tagged or
# not, but never the 50 newest of each. What runs is among those unless 50 builds came after it.

resource "google_artifact_registry_repository" "images" {
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 50
    }
  }

  # What a keep-policy names stays, whatever this says.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "15552000s" # 180 days
      tag_state  = "ANY"
    }
  }

  deletion_policy = var.delete_protection ? "PREVENT" : "DELETE"
  description     = "Images of the GPU service and the gateway of ${var.name}"
  format          = "DOCKER"
  kms_key_name    = local.kms_key
  location        = var.region
  project         = var.project
  repository_id   = "${var.name}-images"

  # A tag that was pushed means the same image for ever.
  docker_config {
    immutable_tags = true
  }

  # On push, 0.26 USD an image; nothing while none is pushed. cloudbuild.yaml stops at what it finds.
  vulnerability_scanning_config {
    enablement_config = "INHERITED"
  }

  depends_on = [google_kms_crypto_key_iam_member.agent]
}
