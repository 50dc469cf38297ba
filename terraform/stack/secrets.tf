# The secret is made here, its value is not: a value that Terraform knows lies in its state.
#   printf %s "$KEY" | gcloud secrets versions add NAME --data-file=-     and then openai = true

locals {
  secrets_agent = "serviceAccount:service-${var.project_number}@gcp-sa-secretmanager.iam.gserviceaccount.com"
}

resource "google_secret_manager_secret" "openai_api_key" {
  deletion_protection = var.delete_protection
  project             = var.project
  secret_id           = "${var.name}-openai-api-key"

  # A superseded version is disabled for a day before it is gone: time to take it back.
  version_destroy_ttl = "86400s"

  replication {
    user_managed {
      replicas {
        location = var.region

        dynamic "customer_managed_encryption" {
          for_each = var.cmek ? [local.kms_key] : []
          content {
            kms_key_name = customer_managed_encryption.value
          }
        }
      }
    }
  }

  # Google rings when it is time; who rotates is a person (docs/operate.md): OpenAI makes the key.
  rotation {
    next_rotation_time = timeadd(plantimestamp(), "2160h") # 90 days
    rotation_period    = "7776000s"                        # 90 days
  }

  topics {
    name = google_pubsub_topic.secret_rotation.id
  }

  lifecycle {
    # Google moves it on after each ring.
    ignore_changes = [rotation[0].next_rotation_time]
  }

  depends_on = [google_pubsub_topic_iam_member.secret_rotation]
}

resource "google_pubsub_topic" "secret_rotation" {
  kms_key_name = local.kms_key
  name         = "${var.name}-secret-rotation"
  project      = var.project

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic_iam_member" "secret_rotation" {
  member  = local.secrets_agent
  project = var.project
  role    = "roles/pubsub.publisher"
  topic   = google_pubsub_topic.secret_rotation.name
}

resource "google_secret_manager_secret_iam_member" "openai_api_key" {
  member    = local.identities.service
  project   = var.project
  role      = "roles/secretmanager.secretAccessor"
  secret_id = google_secret_manager_secret.openai_api_key.secret_id
}
