# A budget warns; it stops nothing. What stops is `max_instances`, the quotas of tenants and the
# money of a day for engines that cost (docs/operate.md).

resource "google_billing_budget" "project" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${var.prefix} in ${var.project}"

  budget_filter {
    calendar_period = "MONTH"
    projects        = ["projects/${data.google_project.this.number}"]
  }

  amount {
    specified_amount {
      # In the billing account's own currency.
      units = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = var.budget.warn_at
    content {
      threshold_percent = threshold_rules.value
      spend_basis       = "CURRENT_SPEND"
    }
  }

  # While there is still time to do something.
  threshold_rules {
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  # Besides, Google writes to the billing account's administrators.
  dynamic "all_updates_rule" {
    for_each = length(var.alert_emails) == 0 ? [] : [1]
    content {
      # Google takes at most five.
      monitoring_notification_channels = slice(
        [for one in google_monitoring_notification_channel.email : one.id], 0, min(5, length(var.alert_emails))
      )
    }
  }

  depends_on = [google_project_service.api]
}
