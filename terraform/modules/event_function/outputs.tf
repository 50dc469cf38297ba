output "identity" {
  description = "E-mail address of the identity it runs as."
  value       = google_service_account.function.email
}

output "member" {
  description = "The same, as grants name it."
  value       = google_service_account.function.member
}

output "name" {
  description = "Name of the function, and of the Cloud Run service below it."
  value       = google_cloudfunctions2_function.function.name
}
