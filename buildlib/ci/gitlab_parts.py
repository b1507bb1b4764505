"""The jobs of GitLab's pipeline that divide the work by arch: each compiles its arch once, and `merge` joins the parts.

All artifacts of a pipeline are unpacked at the same place, so each part has a dist/ of its own. Names in @…@ are replaced by `gitlab`.
"""

TEST = """\
    - buildlib build --shard @SHARD@
    - buildlib test --shard @SHARD@
  variables:
    BUILDLIB_DIST: parts/@ARCH@
  artifacts:
    paths: [@PATHS@]
"""

# Docker's own container beside that of the job.
DOCKER = """\
  services: ["docker:dind"]
@VARIABLES@  variables:
    DOCKER_HOST: tcp://docker:2376
    DOCKER_TLS_CERTDIR: /certs
    DOCKER_TLS_VERIFY: "1"
    DOCKER_CERT_PATH: /certs/client
"""

# The images are not started again here: what a container in Docker's own container listens on cannot be reached from the job.
IMAGES = (
    """
# Each platform's image is pushed by digest and checked. No tag is moved.
# On a runner whose jobs have Docker themselves, remove `services`, `variables` and the lines with docker-cli.
.images:
  stage: images
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG
"""
    + DOCKER
)

JOB = """
images-@ARCH@:
  extends: .images
  needs: [test-@ARCH@]
  variables:
    BUILDLIB_DIST: parts/@ARCH@
  script:
    - apt-get install --yes --no-install-recommends docker-cli docker-buildx
    - buildlib setup --yes --arch @ARCH@
@LOGIN@    - buildlib image --push --no-build --shard @SHARD@
  artifacts:
    paths: [@PREFIX@parts/@ARCH@]
@TAGS@"""

NOT_PUBLISHED = """\
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG
      when: never
    - when: on_success
"""

MERGE = """
# All parts are checked again.
merge:
  stage: merge
@RULES@  needs: [@NEEDS@]
  script:
    - buildlib merge parts
    - buildlib report
  artifacts:
    paths: [@PATHS@]
@TAGS@"""

PUBLISH = """
# All parts are checked again. Then one index joins the images of all platforms, and the tags are moved to it.
publish:
  stage: merge
  rules:
    - if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH || $CI_COMMIT_TAG
  interruptible: false
  resource_group: images
  needs: [checks, @NEEDS@]
  script:
    - apt-get install --yes --no-install-recommends docker-cli
@LOGIN@    - buildlib merge parts
    - buildlib report
  artifacts:
    paths: [@PATHS@]
@TAGS@"""
