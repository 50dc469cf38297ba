# A topic whose messages are pushed to one service, again and again until it answers.

resource "google_pubsub_topic" "queue" {
  project      = var.project
  name         = var.name
  kms_key_name = var.kms_key_name

  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

# Without anybody to push to there is no subscription: what is published is gone, and rung for again
# by `reconcile`. One that is only pulled would gather a week of rings for nobody.
resource "google_pubsub_subscription" "queue" {
  count = var.push == null ? 0 : 1

  project = var.project
  name    = var.name
  topic   = google_pubsub_topic.queue.id

  # For push this is the longest a request may take: work on a ticket ends at 480 s.
  ack_deadline_seconds = 600
  # A hundred deliveries at most ten minutes apart are over in 17 hours.
  message_retention_duration = "86400s"

  push_config {
    push_endpoint = var.push.endpoint

    oidc_token {
      service_account_email = var.push.service_account_email
      audience              = var.push.audience
    }
  }

  # A busy service answers 429, and each such answer counts: few attempts would make dead letters of
  # a busy hour.
  dead_letter_policy {
    dead_letter_topic     = var.dead_letter_topic
    max_delivery_attempts = 100
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  # Never: else a quiet month would delete it.
  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's agent moves what is undeliverable; it publishes to the dead letters' topic by a grant
# that stands there.
resource "google_pubsub_subscription_iam_member" "agent" {
  count = length(google_pubsub_subscription.queue)

  project      = var.project
  subscription = google_pubsub_subscription.queue[count.index].name
  role         = "roles/pubsub.subscriber"
  member       = var.agent
}
