variable "args" {
  description = "What the image's entry point is told."
  type        = list(string)
  default     = []
}

variable "audiences" {
  description = "Audiences that callers' tokens may carry besides the service's own address."
  type        = list(string)
  default     = []
}

variable "concurrency" {
  description = "Requests at once that one instance is given."
  type        = number
}

variable "cpu" {
  description = "CPUs of an instance."
  type        = string
}

variable "cpu_idle" {
  description = "Whether an instance has CPU only while it answers (and is billed so). false = billed by instance."
  type        = bool
  default     = true
}

variable "default_uri_disabled" {
  description = "Whether the run.app address is closed, because a load balancer stands before the service."
  type        = bool
  default     = false
}

variable "delete_protection" {
  description = "Whether terraform destroy refuses."
  type        = bool
}

variable "environment" {
  description = "Environment variables by name."
  type        = map(string)
}

variable "gpu" {
  description = "Kind of GPU and whether a second zone is reserved for it; null = none."
  type        = object({ accelerator = string, zonal_redundancy = bool })
  default     = null
}

variable "iap" {
  description = "Whether Identity-Aware Proxy stands before it, so that people sign in with a browser."
  type        = bool
  default     = false
}

variable "identity" {
  description = "E-mail of the service account it runs as."
  type        = string
}

variable "image" {
  description = "The container image by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image is given by digest (…@sha256: and 64 hexadecimal digits), as cloudbuild.yaml prints it: a tag can mean something else tomorrow."
  }
}

variable "ingress" {
  description = "Where requests may come from, in Cloud Run's words."
  type        = string
}

variable "invokers" {
  description = "IAM members that may call it, by a name for each."
  type        = map(string)
}

variable "kms_key_name" {
  description = "Key that the deployed image is encrypted with; null = Google's."
  type        = string
  default     = null
}

variable "max_instances" {
  description = "Most instances."
  type        = number
}

variable "memory" {
  description = "Memory of an instance, such as 2Gi. What it writes to disk counts."
  type        = string
}

variable "min_instances" {
  description = "Instances kept warm when the service is made; the scaler moves it later."
  type        = number
  default     = 0
}

variable "name" {
  description = "Name of the service."
  type        = string
}

variable "network" {
  description = "Network its calls leave through, and which of them; null = Google's own."
  type        = object({ network = string, subnetwork = string, egress = string })
  default     = null
}

variable "probes" {
  description = "Paths that say it has started and is alive (null = only the port is tried), and the seconds it may take to start."
  type = object({
    alive   = optional(string)
    started = optional(string)
    start_s = number
  })

  validation {
    condition     = var.probes.start_s >= 1 && var.probes.start_s <= 240
    error_message = "Cloud Run waits at most 240 s for a service to start: say 1 to 240."
  }
}

variable "project" {
  description = "Id of the project."
  type        = string
}

variable "project_number" {
  description = "Number of the project: it stands in the address."
  type        = string
}

variable "region" {
  description = "Region it runs in."
  type        = string
}

variable "secrets" {
  description = "Environment variables that come from Secret Manager: id of the secret by name; the newest version is read at start."
  type        = map(string)
  default     = {}
}

variable "session_affinity" {
  description = "Whether a browser comes back to the same instance where it can."
  type        = bool
  default     = false
}

variable "timeout_s" {
  description = "Seconds a request may take, streams included."
  type        = number

  validation {
    condition     = var.timeout_s >= 1 && var.timeout_s <= 3600
    error_message = "Cloud Run ends every request after at most 3600 s: say 1 to 3600."
  }
}

variable "weights" {
  description = "Bucket that is mounted read-only, and where; null = none."
  type        = object({ bucket = string, path = string })
  default     = null
}
