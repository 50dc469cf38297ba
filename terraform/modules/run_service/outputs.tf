output "name" {
  description = "Name of the service."
  value       = google_cloud_run_v2_service.this.name
}

output "uri" {
  description = "Where it answers: the address by the project's number, known before it is made."
  value       = "https://${local.host}"

  # Whoever is told the address wants it to answer.
  depends_on = [google_cloud_run_v2_service.this]
}

output "host" {
  description = "The host in that address."
  value       = local.host
}
