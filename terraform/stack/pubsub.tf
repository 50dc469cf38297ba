# Topics, their subscriptions, and who publishes. Names are those of Topic in
# shared/domain/recording.py, and of ticks, arrivals and dead letters; tests/terraform compares.
#
# Messages are doorbells and announcements: the store is the truth, and what is lost here is rung for
# or found again.

locals {
  # The service of each lane's tickets: two have one each, else one has both (gpu_service.tf).
  lane_service = { for lane in ["high", "low"] : lane => contains(keys(local.services), lane) ? lane : "one" }

  topics = toset([
    "inference-metrics",
    "jobs-dead",
    "recording-events",
    "ticks",
    "undelivered",
    "upload-arrivals",
  ])

  # Whoever drains an outbox may meet any of these.
  published = merge(
    { for name in ["inference-metrics", "jobs-dead", "recording-events"] : name => google_pubsub_topic.topic[name].name },
    { for lane in keys(local.lane_service) : "lane-${lane}" => module.lane[lane].topic },
  )
  publishers = ["gateway", "on_audio_uploaded", "reconcile", "retire", "service"]
}

resource "google_pubsub_topic" "topic" {
  for_each = local.topics

  project      = var.project
  name         = "${var.name}-${each.key}"
  kms_key_name = local.kms_key

  # Object names and tenants stay where the recordings are.
  message_storage_policy {
    allowed_persistence_regions = [var.region]
  }
}

resource "google_pubsub_topic_iam_member" "publisher" {
  for_each = { for pair in setproduct(keys(local.published), local.publishers) : join(" ", pair) => pair }

  project = var.project
  topic   = local.published[each.value[0]]
  role    = "roles/pubsub.publisher"
  member  = local.members[each.value[1]]
}

# --- lanes: tickets, pushed to the service of each (gpu_service.tf) ------------------------------------------------------

module "lane" {
  for_each = local.lane_service
  source   = "../modules/work_queue"

  agent             = local.agents.pubsub
  dead_letter_topic = google_pubsub_topic.topic["undelivered"].id
  kms_key_name      = local.kms_key
  name              = "${var.name}-lane-${each.key}"
  project           = var.project
  region            = var.region

  push = length(local.services) == 0 ? null : {
    endpoint              = "${module.service[each.value].uri}/pubsub/tickets"
    service_account_email = google_service_account.push.email
    audience              = local.audience
  }
}

# Who pushes. It may call the GPU service (gpu_service.tf) and nothing else.
resource "google_service_account" "push" {
  project      = var.project
  account_id   = "${var.name}-push"
  display_name = "Pushes tickets to the GPU service"
}

# Projects that had Pub/Sub before April 2021 need this to have tokens made; for others it is idle.
resource "google_service_account_iam_member" "push_tokens" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = local.agents.pubsub
}

# --- subscriptions that are pulled ------------------------------------------------------------------

# Of each upload once more. `reconcile` looks at a message for a minute at most, leaves the young ones
# to come again, and acknowledges what has its recording.
resource "google_pubsub_subscription" "upload_arrivals" {
  project                    = var.project
  name                       = "${var.name}-upload-arrivals"
  topic                      = google_pubsub_topic.topic["upload-arrivals"].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"

  # An arrival that a hundred ticks could not settle is found by the daily listing.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.topic["undelivered"].id
    max_delivery_attempts = 100
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

# A copy of each dead letter for people, beside the function that raises the alert.
resource "google_pubsub_subscription" "jobs_dead" {
  project                    = var.project
  name                       = "${var.name}-jobs-dead"
  topic                      = google_pubsub_topic.topic["jobs-dead"].id
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.topic["undelivered"].id
    max_delivery_attempts = 100
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

# What could not be delivered a hundred times, kept 7 days for a person; the attributes say where it
# comes from. It has no dead letter of its own: there is nowhere further to go.
resource "google_pubsub_subscription" "undelivered" {
  project                    = var.project
  name                       = "${var.name}-undelivered"
  topic                      = google_pubsub_topic.topic["undelivered"].id
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  expiration_policy {
    ttl = ""
  }
}

resource "google_pubsub_subscription_iam_member" "reconcile" {
  project      = var.project
  subscription = google_pubsub_subscription.upload_arrivals.name
  role         = "roles/pubsub.subscriber"
  member       = local.members["reconcile"]
}

# --- Google's agents --------------------------------------------------------------------------------

# Moving a message to the dead letters is publishing it there, and acknowledging it here.
resource "google_pubsub_topic_iam_member" "pubsub_agent" {
  project = var.project
  topic   = google_pubsub_topic.topic["undelivered"].name
  role    = "roles/pubsub.publisher"
  member  = local.agents.pubsub
}

resource "google_pubsub_subscription_iam_member" "pubsub_agent" {
  for_each = {
    inference-metrics = google_pubsub_subscription.inference_metrics.name
    jobs-dead         = google_pubsub_subscription.jobs_dead.name
    upload-arrivals   = google_pubsub_subscription.upload_arrivals.name
  }

  project      = var.project
  subscription = each.value
  role         = "roles/pubsub.subscriber"
  member       = local.agents.pubsub
}

# Cloud Storage tells of uploads.
resource "google_pubsub_topic_iam_member" "storage_agent" {
  project = var.project
  topic   = google_pubsub_topic.topic["upload-arrivals"].name
  role    = "roles/pubsub.publisher"
  member  = local.agents.storage
}
