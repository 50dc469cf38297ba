# What builds must know of a stack: where its images and weights go (../build.tf, cloudbuild.yaml),
# and what a workload of it is told, so that a smoke test meets the same stack.

output "build" {
  description = "Registry of images, bucket of weights, and the variables of every workload."
  value = {
    environment = local.environment
    kms_key     = local.kms_key
    registry    = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
    repository  = google_artifact_registry_repository.images.repository_id
    weights     = google_storage_bucket.weights.name
  }
}
