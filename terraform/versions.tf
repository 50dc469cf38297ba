terraform {
  required_version = ">= 1.11"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7"
    }
  }

  # Where the state lies is the deployer's: terraform init -backend-config=bucket=... (docs/deploy.md).
  backend "gcs" {}
}

provider "google" {
  project = var.project
  region  = var.region

  # Quotas of calls count on the project that is deployed, not on whoever deploys it.
  user_project_override = true
  billing_project       = var.project

  default_labels = { app = var.prefix }
}
