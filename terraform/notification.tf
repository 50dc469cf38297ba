# Who is told when something is wrong: the alerts of every stack (stack/alerts.tf) and the budget.
# Google takes an e-mail address as it is, without asking its owner; the page of the channels has a
# button that sends a test.

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = var.project
  display_name = "${var.prefix}: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.api]
}
