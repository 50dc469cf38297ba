output "addresses" {
  description = "Where to drop recordings, where the page is, where images and weights go, and what to do next. With `edge`, door is what the domain's A record says; with `vpc`, sender is the address that calls come from."
  value = {
    door     = one(google_compute_global_address.edge[*].address)
    drop     = "gs://${google_storage_bucket.uploads.name}/uploads/TENANT/"
    images   = google_artifact_registry_repository.images.registry_uri
    operator = google_service_account.operator.email
    page     = var.images == null ? null : "https://${local.gateway_host}/"
    secret   = google_secret_manager_secret.openai_api_key.secret_id
    sender   = one(google_compute_address.out[*].address)
    weights  = "gs://${google_storage_bucket.weights.name}/"

    next = var.images == null ? join(" ", [
      "Build the images: gcloud builds submit --project=${var.project} --region=${var.region} --config=cloudbuild.yaml .",
      "Then set `images` to the two digests it prints, and apply again.",
    ]) : "gcloud storage cp RECORDING gs://${google_storage_bucket.uploads.name}/uploads/demo/"
  }
}
