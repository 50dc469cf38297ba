# What a person has to know of at once, and what to do then. Only where somebody is told
# (`alert_emails`): Google charges up to 1.50 USD a month for each condition, and there are seven a
# stack (cloud.google.com/monitoring/alerts/cost-control, read 2026-11-21).
#
# All of it is measured by Google (cloud.google.com/monitoring/api/metrics_gcp). How sure the engines
# are is not: those figures lie in BigQuery and on the service's own /metrics (docs/metrics.md), and
# Cloud Monitoring has none of them, so it cannot warn of them.

locals {
  subscription = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id"
  revision     = "resource.type = \"cloud_run_revision\" AND resource.labels.location = \"${var.region}\" AND resource.labels.service_name"
  of_gateway   = "${local.revision} = \"${local.gateway_name}\""

  waiting  = "metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\" AND ${local.subscription}"
  oldest   = "metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\" AND ${local.subscription}"
  requests = "metric.type = \"run.googleapis.com/request_count\""
  failed   = "${local.requests} AND metric.labels.response_code_class = \"5xx\""

  dead      = join(", ", [for one in [google_pubsub_subscription.jobs_dead, google_pubsub_subscription.undelivered] : "\"${one.name}\""])
  functions = join(", ", [for one in module.function : "\"${one.name}\""])

  # Of each condition: which series, above what, for how long, and how a minute of it is one number.
  every_alert = {
    dead = {
      name     = "dead letters"
      severity = "ERROR"
      say      = "Jobs used up their attempts. `earwitness dead ls` names each with its cause; put right what it says, then `earwitness dead replay ID`, or `discard`. The alert ends when the copies are gone: `gcloud pubsub subscriptions seek ${var.name}-jobs-dead --time=$(date -u +%FT%TZ)`, and the same for ${var.name}-undelivered once its messages were read."
      conditions = {
        "there are dead letters" = { filter = "${local.waiting} = one_of(${local.dead})", by = ["resource.label.subscription_id"], above = 0, for_s = 0, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" }
      }
    }

    late = {
      name     = "a lane misses its target"
      severity = "ERROR"
      say      = "Recordings wait longer than their lane promises. Cloud Run > ${var.name}-service: has it instances, and what does its log say of tickets that failed? At its largest: raise the quota and `gpu.max_instances`."
      conditions = {
        # A ticket stays unacknowledged while it is worked on, 480 s at most: an older one waited.
        "high: a ticket is older than 10 minutes" = { filter = "${local.oldest} = \"${var.name}-lane-high\"", above = 600, for_s = 60, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" }
        "low: a ticket is older than 2 hours"     = { filter = "${local.oldest} = \"${var.name}-lane-low\"", above = 7200, for_s = 60, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" }
      }
    }

    long = {
      name     = "more than 500 tickets wait"
      severity = "WARNING"
      say      = "More arrives than is heard. Of a batch, nothing has to be done: `earwitness ls` shows it shrink. If it goes on, raise `gpu.max_instances`, or let batches carry the bulk marker, so that they wait behind everybody else."
      conditions = {
        "a lane has more than 500" = { filter = "${local.waiting} = one_of(\"${var.name}-lane-high\", \"${var.name}-lane-low\")", by = ["resource.label.subscription_id"], above = 500, for_s = 300, aligner = "ALIGN_MAX", reducer = "REDUCE_MAX" }
      }
    }

    functions = {
      name     = "functions fail"
      severity = "ERROR"
      say      = "A function failed for five minutes. Its events come again for 24 hours, so nothing is lost yet; an upload that was lost after all is found by `reconcile`. What is wrong stands in its log: Cloud Run > the function > Logs, severity ERROR."
      conditions = {
        "a function answers 5xx" = { filter = "${local.failed} AND ${local.revision} = one_of(${local.functions})", by = ["resource.label.service_name"], above = 0, for_s = 300, aligner = "ALIGN_DELTA", reducer = "REDUCE_SUM" }
      }
    }

    errors = {
      name     = "the gateway fails"
      severity = "CRITICAL"
      say      = "More than 5 % of requests failed for five minutes. Did it begin with an apply? Then apply the images before it (docs/operate.md). Else the log of ${local.gateway_name} names what does not answer."
      conditions = {
        "more than 5 % of its answers are 5xx" = { filter = "${local.failed} AND ${local.of_gateway}", of = "${local.requests} AND ${local.of_gateway}", above = 0.05, for_s = 300, aligner = "ALIGN_RATE", reducer = "REDUCE_SUM" }
      }
    }

    slow = {
      name     = "the gateway is slow"
      severity = "WARNING"
      say      = "One request in twenty took more than 2 s for five minutes. Callers that wait while long recordings are heard (/v1/audio) do that by themselves. Else: Cloud Run > ${var.name}-service > Metrics shows instances that were started for a call (`high_min_instances` keeps one ready)."
      conditions = {
        # In ms. Streams answer 101 and are not among these.
        "p95 of its good answers is above 2 s" = { filter = "metric.type = \"run.googleapis.com/request_latencies\" AND metric.labels.response_code_class = \"2xx\" AND ${local.of_gateway}", above = 2000, for_s = 300, aligner = "ALIGN_DELTA", reducer = "REDUCE_PERCENTILE_95" }
      }
    }
  }

  unheard = var.images == null ? ["errors", "slow"] : []
  alerts  = { for key, one in local.every_alert : key => one if length(var.channels) > 0 && !contains(local.unheard, key) }
}

resource "google_monitoring_alert_policy" "alert" {
  for_each = local.alerts

  project               = var.project
  display_name          = "${var.name}: ${each.value.name}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.channels

  dynamic "conditions" {
    for_each = each.value.conditions
    content {
      display_name = conditions.key

      condition_threshold {
        filter             = conditions.value.filter
        denominator_filter = try(conditions.value.of, null)
        comparison         = "COMPARISON_GT"
        threshold_value    = conditions.value.above
        duration           = "${conditions.value.for_s}s"

        aggregations {
          alignment_period     = "60s"
          per_series_aligner   = conditions.value.aligner
          cross_series_reducer = conditions.value.reducer
          group_by_fields      = try(conditions.value.by, [])
        }

        dynamic "denominator_aggregations" {
          for_each = try([conditions.value.of], [])
          content {
            alignment_period     = "60s"
            per_series_aligner   = conditions.value.aligner
            cross_series_reducer = conditions.value.reducer
          }
        }
      }
    }
  }

  # An incident that nothing was heard of for a day is over.
  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    subject   = "${var.name}: ${each.value.name}"
    mime_type = "text/markdown"
    content   = each.value.say
  }
}
