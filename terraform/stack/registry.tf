# Images of the two services. Deployed ones are named by digest, so an old image is kept as long as
# it may be rolled back to, and no longer.

resource "google_artifact_registry_repository" "images" {
  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 10
    }
  }

  cleanup_policies {
    id     = "keep-tagged"
    action = "KEEP"
    condition {
      tag_state = "TAGGED"
    }
  }

  # What a keep-policy names stays, whatever this says.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s" # 30 days
      tag_state  = "UNTAGGED"
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
