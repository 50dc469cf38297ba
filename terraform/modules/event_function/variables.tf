variable "archive" {
  description = "Bucket and object of the source."
  type        = object({ bucket = string, object = string })
}

variable "build" {
  description = "Who builds it (a service account's resource name), and the repository the image goes to."
  type        = object({ service_account = string, repository = string })
}

variable "description" {
  description = "What it does, in a sentence."
  type        = string
}

variable "environment" {
  description = "The variables it is told."
  type        = map(string)
}

variable "kms_key_name" {
  description = "Key that source and image are encrypted with; null = Google's."
  type        = string
}

variable "max_instances" {
  description = "The most instances at once; each handles one event at a time."
  type        = number
}

variable "memory_mb" {
  description = "Memory of an instance, in MiB."
  type        = number
}

variable "name" {
  description = "Its entry point in main.py."
  type        = string
}

variable "network" {
  description = "The network that everything it calls goes through; null = none."
  type        = object({ network = string, subnetwork = string, egress = string })
}

variable "prefix" {
  description = "What its names begin with."
  type        = string
}

variable "project" {
  description = "Id of the project."
  type        = string
}

variable "region" {
  description = "Region of the function, of its trigger, and of the bucket that fires it."
  type        = string
}

variable "timeout_s" {
  description = "Seconds an event may take; at most 540."
  type        = number

  validation {
    condition     = var.timeout_s >= 1 && var.timeout_s <= 540
    error_message = "An event-driven function ends after 540 s at most: give 1 to 540."
  }
}

variable "trigger" {
  description = "Type of the events; the topic's id, or filters by attribute."
  type = object({
    event_type   = string
    pubsub_topic = optional(string)
    filters      = optional(map(string), {})
  })
}
