"""Pictures as arrays: files read and written, MATLAB's bicubic, PSNR and SSIM as the papers compute them."""
