# The clock of each function that listens to ticks.

locals {
  # In the syntax of cron, in UTC. A function that listens and is not here ends the plan.
  schedules = { deliver = "* * * * *", reconcile = "* * * * *", retire = "* * * * *", seal = "* * * * *" }
  scheduled = { for name, one in local.listed : name => one if try(one.trigger.topic, "") == "ticks" }
}

resource "google_cloud_scheduler_job" "tick" {
  for_each = local.scheduled

  project     = var.project
  region      = var.region
  name        = "${var.name}-${replace(each.key, "_", "-")}"
  description = each.value.description
  schedule    = local.schedules[each.key]
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.topic["ticks"].id
    data       = base64encode("{}")
    attributes = { function = each.key }
  }
}
